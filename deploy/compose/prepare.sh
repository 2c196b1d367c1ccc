#!/bin/sh
# What the hosts of compose.yaml share, made once before any of them starts: the database's certificate, the token of
# Alertmanager, and who owns which volume. Running it again makes nothing anew but a certificate that ends soon.
# It is root's, with the right to give files away and nothing else; tests run it on folders of their own.
set -eu
umask 077
certificate=${CERTIFICATE_FOLDER:-/certificate}
authority=${AUTHORITY_FOLDER:-/authority}
secrets=${SECRETS_FOLDER:-/secrets}
alerts=${ALERTS_FOLDER:-/alerts}
store=${STORE_FOLDER:-/store}
roles=${ROLES_FOLDER:-/roles}
# The accounts of the platform's images and of PostgreSQL's.
platform=${PLATFORM_OWNER:-10001:10001}
postgres=${POSTGRES_OWNER:-999:999}
host=${DATABASE_HOST:-postgres}
days=825
soon=$((30 * 86400))

make_certificate() {
  work=$(mktemp -d)
  # The authority signs one certificate and is thrown away: nobody can make another that is believed.
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "$days" -subj "/CN=mlops database" \
    -addext basicConstraints=critical,CA:TRUE -keyout "$work/ca.key" -out "$work/ca.crt" 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$host" \
    -keyout "$work/server.key" -out "$work/server.csr" 2>/dev/null
  printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth\n' "$host" >"$work/extensions"
  openssl x509 -req -in "$work/server.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial \
    -days "$days" -extfile "$work/extensions" -out "$work/server.crt" 2>/dev/null
  cp "$work/server.key" "$certificate/server.key.new" && mv "$certificate/server.key.new" "$certificate/server.key"
  cp "$work/server.crt" "$certificate/server.crt"
  cp "$work/ca.crt" "$authority/ca.crt"
  rm -rf "$work"
}

if ! openssl x509 -checkend "$soon" -noout -in "$certificate/server.crt" >/dev/null 2>&1 ||
  ! openssl verify -CAfile "$authority/ca.crt" "$certificate/server.crt" >/dev/null 2>&1; then
  make_certificate
fi
[ -s "$secrets/alerts_token" ] || openssl rand -hex 32 >"$secrets/alerts_token"
cp "$secrets/alerts_token" "$alerts/token"

# Volumes that only those mount who may read all of them.
chmod 700 "$certificate" "$secrets"
chmod 755 "$authority" "$alerts" "$roles"
chmod 644 "$authority/ca.crt" "$alerts/token"
chmod 600 "$certificate/server.key" "$certificate/server.crt"
chown -R "$postgres" "$certificate"
chown "$platform" "$secrets" "$secrets/alerts_token" "$store" "$roles"
