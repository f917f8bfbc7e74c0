"""The edge gateway: holds the browsers, their signalling and their media."""
