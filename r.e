time=T level=error msg="invalid boolean value \"maybe\" for -debug: parse error"
