"""Networks, endpoints and the addresses, ports and names they hold."""
