raise RuntimeError("bad configuration")
