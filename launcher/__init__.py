"""One machine: the `direct-contact` command, the embedded servers, the supervisor, the demo."""
