"""What is said to Triton: messages of its protocol, no service of ours speaks them."""
