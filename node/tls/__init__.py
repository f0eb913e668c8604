"""TLS for clients, the bus and replication: what OpenSSL is told, and sockets that speak it."""
