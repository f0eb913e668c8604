"""Directives of a node: one declared table, their values, redis.conf and the command line."""
