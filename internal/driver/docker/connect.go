package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// connect makes the client for an engine's address, which is found as the docker
// command finds it when it is "". It does not connect yet.
func connect(host string) (*client.Client, string, error) {
	tls := tlsFromEnv()
	if host == "" {
		host = os.Getenv(client.EnvOverrideHost)
	}
	if host == "" {
		c, err := currentContext(configFolder())
		if err != nil {
			return nil, "", err
		}
		if c.host != "" {
			host, tls = c.host, c.tls
		}
	}
	if host == "" {
		host = client.DefaultDockerHost
	}
	if strings.HasPrefix(host, "ssh://") {
		return nil, "", fault.New(fault.Unsupported, "the Docker engine's address %s is not supported: containers must run on the server's own machine; use its socket", host)
	}
	engine, err := client.New(tls, client.WithHost(host), client.WithAPIVersionFromEnv())
	if err != nil {
		return nil, "", fault.Wrap(fault.Invalid, err, "the Docker engine at %s cannot be used: %v", host, err)
	}
	return engine, host, nil
}

// tlsFromEnv is what DOCKER_TLS_VERIFY and DOCKER_CERT_PATH say. Without the
// second, the certificates are those of the Docker configuration.
func tlsFromEnv() client.Opt {
	if os.Getenv(client.EnvTLSVerify) != "" && os.Getenv(client.EnvOverrideCertPath) == "" {
		return certificates(configFolder())
	}
	return client.WithTLSClientConfigFromEnv()
}

func certificates(folder string) client.Opt {
	return client.WithTLSClientConfig(filepath.Join(folder, "ca.pem"), filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem"))
}

// configFolder is the folder of the Docker configuration, or "".
func configFolder() string {
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".docker")
}

// dockerContext is a named engine of the Docker configuration.
type dockerContext struct {
	host string // "" is the default
	tls  client.Opt
}

// currentContext reads the context that DOCKER_CONTEXT or the configuration
// names. The default context has no host.
func currentContext(folder string) (dockerContext, error) {
	name := os.Getenv("DOCKER_CONTEXT")
	if name == "" {
		var file struct {
			CurrentContext string `json:"currentContext"`
		}
		if err := readJSON(filepath.Join(folder, "config.json"), &file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return dockerContext{}, fault.Wrap(fault.Invalid, err, "the Docker configuration cannot be read: %v", err)
		}
		name = file.CurrentContext
	}
	if name == "" || name == "default" {
		return dockerContext{}, nil
	}
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	var meta struct {
		Endpoints map[string]struct{ Host string }
	}
	if err := readJSON(filepath.Join(folder, "contexts", "meta", id, "meta.json"), &meta); err != nil {
		return dockerContext{}, fault.Wrap(fault.Invalid, err, "the Docker context %q cannot be read; choose another with: docker context use", name)
	}
	c := dockerContext{host: meta.Endpoints["docker"].Host}
	certs := filepath.Join(folder, "contexts", "tls", id, "docker")
	if _, err := os.Stat(filepath.Join(certs, "ca.pem")); err == nil {
		c.tls = certificates(certs)
	}
	return c, nil
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}
