"""TCP connections as conversations: the ingress that accepts them, and the target that dials."""
