package process

func serverMain(string) {}
