"""The messages of version 2 of the Open Inference Protocol that are used, and Triton's own."""
