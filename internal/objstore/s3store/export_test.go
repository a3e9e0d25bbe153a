package s3store

import "time"

// Hasty makes a client that neither pauses between tries nor waits for a body
// that stands still.
func (c Config) Hasty(idle time.Duration) Config {
	c.pause, c.idle = time.Millisecond, idle
	return c
}

// PartSize is partSize.
var PartSize = partSize
