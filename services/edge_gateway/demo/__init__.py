"""The demo page and its signer. They exist on one machine only, and only where they are asked for."""
