"""Networks: created from a layer spec, versioned, named by aliases, with weights up and down."""
