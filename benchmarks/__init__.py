"""Measurements that anybody can run; each prints JSON. Sizes are flags."""
