"""The wires of other products, each a pure translation to and from the core."""
