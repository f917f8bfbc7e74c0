"""Media: forwards RTP between browsers. aiortc is known in here only; ``interface``, ``settings`` and ``engine`` are for others."""
