package process

import "testing"

// noneLeft has nothing to look at where processes are known by number only.
func noneLeft(*testing.T, record) {}
