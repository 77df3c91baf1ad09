"""What tests share: real servers, faults on the wire, conditions with deadlines."""
