"""Reports: plain records first, then formats that only format them."""
