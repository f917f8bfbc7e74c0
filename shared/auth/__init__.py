"""Who may do what: UserSig for browsers, TC3-HMAC-SHA256 for back ends. Pure: no I/O, and the time is an argument."""
