package daemon

import (
	"crypto/tls"
	"os"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// certificate is the server's, read from two files and again when they change, so
// that renewing it needs no restart.
type certificate struct {
	certFile, keyFile string
	now               func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
	stamp   string    // of the files that current was read from
	looked  time.Time // when they were last looked at
	err     error     // why the newest files could not be read; current goes on
}

// lookEvery is how often the files are looked at, by handshakes.
const lookEvery = time.Second

// openCertificate reads the files for the first time.
func openCertificate(certFile, keyFile string, now func() time.Time) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, now: now}
	c.reload()
	if c.err != nil {
		return nil, fault.Wrap(fault.Invalid, c.err, "the certificate in %s with the key in %s cannot be used: %v", certFile, keyFile, c.err)
	}
	return c, nil
}

// config is what a listener needs.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if now := c.now(); now.Sub(c.looked) >= lookEvery {
				c.looked = now
				c.reload()
			}
			return c.current, nil
		},
	}
}

// reload reads the files when they are not those that were read last. A pair that
// does not fit, as while it is being replaced, leaves the old one in use.
func (c *certificate) reload() {
	stamp := stampOf(c.certFile) + stampOf(c.keyFile)
	if stamp == c.stamp {
		return
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if c.err = err; err == nil {
		c.current, c.stamp = &pair, stamp
	}
}

// stampOf changes when a file does.
func stampOf(name string) string {
	info, err := os.Stat(name)
	if err != nil {
		return "?"
	}
	return info.ModTime().String() + "/" + info.Name()
}
