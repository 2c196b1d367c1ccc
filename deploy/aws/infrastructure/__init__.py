"""The platform's places on AWS, one file for each: network, cluster, database, storage, registry, roles, secrets."""
