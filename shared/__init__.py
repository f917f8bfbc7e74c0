"""What the services share: the contracts they speak and the plumbing they speak them over."""
