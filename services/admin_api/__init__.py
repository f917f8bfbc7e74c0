"""Where operators' back ends come in: the TRTC server API over HTTP, signed with TC3-HMAC-SHA256."""
