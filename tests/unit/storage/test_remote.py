"""Which store a URL is in, what is asked of its library, and what is said when it can't be asked."""

from __future__ import annotations

import sys

import pytest

from mlops_assets.installation.run_mlflow import for_mlflow
from mlops_assets.storage import azure, gcs, remote
from mlops_assets.storage.azure import account_of, mlflow_url
from mlops_assets.storage.errors import said, told
from mlops_assets.storage.files import Storage, StorageError
from mlops_assets.training.data.sources import redacted

LONG = "abfss://data@homes1.dfs.core.windows.net/prod"
CONNECTION = "DefaultEndpointsProtocol=https;AccountName={};AccountKey=aHVzaA==;EndpointSuffix=core.windows.net"


@pytest.fixture(autouse=True)
def no_clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCOUNT_NAME", "ACCOUNT_KEY", "CONNECTION_STRING"):
        monkeypatch.delenv(f"AZURE_STORAGE_{name}", raising=False)
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("s3://bucket/a/b", "bucket/a/b"), ("gs://bucket.example/a/", "bucket.example/a"), ("gs://bucket", "bucket"),
        ("abfs://data/prod", "data/prod"), (LONG, "data/prod"),
        ("abfs://data@homes1.blob.core.usgovcloudapi.net/x", "data/x"),
    ],
)  # fmt: skip
def test_every_store_names_a_place_by_bucket_and_key(url: str, key: str) -> None:
    assert remote.key_of(url) == key
    assert Storage(url).folder is None
    assert Storage(url).at("v1").locate("a.json") == f"{url.rstrip('/')}/v1/a.json"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("gs://", "gs://bucket/key"), ("gs://key:hush@bucket/a", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("abfs://", "abfs://container/key"), ("abfs://key:hush@data/a", "AZURE_STORAGE_"),
        ("abfss://data@hush.example.com/a", "abfss://container@account"),
        ("abfss://data@homes1.dfs.core.windows.net.hush.com/a", "abfss://container@account"),
        ("abfs://Data/a", "abfs://container/key"), ("gcs://bucket/a", "only a path, file://, s3://, gs://"),
        ("wasbs://data@homes1.blob.core.windows.net/a", "only a path"),
    ],
)  # fmt: skip
def test_another_form_is_refused_with_the_right_one_and_without_a_secret(url: str, said: str) -> None:
    """An access token is sent to the host that a URL names: it may only be the cloud's own."""
    with pytest.raises(StorageError) as error:
        Storage(url)
    assert said in str(error.value)
    assert "hush" not in str(error.value)


def test_a_container_is_shown_and_a_password_is_not() -> None:
    assert redacted(f"{LONG}/raw.csv?sig=hush") == f"{LONG}/raw.csv?***"
    assert redacted("abfs://user:hush@data/raw.csv") == "abfs://***@data/raw.csv"


def test_the_account_is_named_by_the_url_or_a_variable_and_never_by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="abfs://data/x: no account is named; set AZURE_STORAGE_ACCOUNT_NAME"):
        account_of("abfs://data/x", {})
    assert account_of(LONG, {}) == "homes1"
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "homes2")
    assert (account_of("abfs://data/x", {}), account_of(LONG, {})) == ("homes2", "homes1")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", CONNECTION.format("homes3"))
    assert account_of("abfs://data/x", {}) == "homes3"
    with pytest.raises(StorageError, match="of another account, homes3") as error:
        account_of(LONG, {})
    assert "aHVzaA" not in str(error.value)
    shared = "BlobEndpoint=https://homes4.blob.core.windows.net/;SharedAccessSignature=sig=hush"
    assert account_of("abfs://data/x", {"connection_string": shared}) == "homes4"


def test_mlflow_is_told_the_place_and_the_key_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mlflow_url(f"{LONG}/mlflow") == "wasbs://data@homes1.blob.core.windows.net/prod/mlflow"
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "homes2")
    variables = {"AZURE_STORAGE_ACCOUNT_KEY": "hush"}
    given = ["--port", "5000", "--artifacts-destination", "abfs://data/prod/mlflow"]
    assert for_mlflow(given, variables) == [*given[:3], "wasbs://data@homes2.blob.core.windows.net/prod/mlflow"]
    assert variables["AZURE_STORAGE_ACCESS_KEY"] == "hush"
    for other in ("s3://bucket/mlflow", "gs://bucket/mlflow", "/srv/mlflow"):
        assert for_mlflow([other], {}) == [other]


@pytest.mark.parametrize(("url", "library", "extra"), [("gs://b/x", "gcsfs", "gcs"), (LONG, "adlfs", "azure")])
def test_a_missing_library_is_told_with_its_extra(
    url: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever of it another test has imported already.
    for name in {library, *(name for name in sys.modules if name.startswith(f"{library}."))}:
        monkeypatch.setitem(sys.modules, name, None)
    storage = Storage(url)
    with pytest.raises(StorageError, match=rf"{library} is not installed; pip install 'mlops-assets\[{extra}\]'"):
        storage.names()


def test_azure_is_asked_twice_and_with_limits() -> None:
    storage = Storage("abfs://data/x", {"connection_string": CONNECTION.format("homes3")})
    config = storage.root.fs.service_client._config
    limits = config.transport.connection_config
    assert config.retry_policy.total_retries == azure.RETRIES
    assert (limits.timeout, limits.read_timeout) == (azure.CONNECT_SECONDS, azure.READ_SECONDS)


def test_google_is_asked_with_limits_and_never_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    with pytest.raises(StorageError, match=r"gs://bucket/x/a: .*/nowhere/key\.json was not found"):
        Storage("gs://bucket/x", {"skip_instance_cache": True}).exists("a")
    fs = Storage("gs://bucket/x", {"endpoint_url": "http://127.0.0.1:9"}).root.fs
    assert fs.requests_timeout.sock_read == gcs.READ_SECONDS
    assert fs.requests_timeout.total == gcs.REQUEST_SECONDS


def test_errors_of_a_store_are_one_line_without_what_may_be_done_with_a_url() -> None:
    signed = "Forbidden: https://store.example/b/o?upload_id=hush&x=1 for you\nServer used string to sign: hush"
    assert said(OSError(signed)) == "Forbidden: https://store.example/b/o?*** for you"
    with pytest.raises(StorageError, match="gs://b/a: Forbidden"), told("gs://b/a"):
        raise OSError(signed)
    with pytest.raises(ZeroDivisionError), told("gs://b/a"):
        raise ZeroDivisionError
