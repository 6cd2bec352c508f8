"""Pure views of a finished report: the same report gives the same text, byte for byte."""
