//go:build !linux

package volume

// Other systems have nothing that everybody's server could use.
func encryptedKinds() []kind { return nil }

func memoryKinds(string, int64) []kind { return nil }

func unmountAll(string) error { return nil }

func removeShared(string, string) error { return nil }
