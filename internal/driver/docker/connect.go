package docker

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/go-connections/tlsconfig"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// connect makes the client for an engine's address, which is found as the docker
// command finds it when it is "". It does not connect yet.
//
// Each call has a connection of its own: an engine that stops goes on serving the
// connections that it has, so an old one tells nothing of whether it stops.
func connect(host string) (*client.Client, string, error) {
	certs := certsFromEnv()
	if host == "" {
		host = os.Getenv(client.EnvOverrideHost)
	}
	if host == "" {
		c, err := currentContext(configFolder())
		if err != nil {
			return nil, "", err
		}
		if c.host != "" {
			host, certs = c.host, c.certs
		}
	}
	if host == "" {
		host = client.DefaultDockerHost
	}
	if strings.HasPrefix(host, "ssh://") {
		return nil, "", fault.New(fault.Unsupported, "the Docker engine's address %s is not supported: containers must run on the server's own machine; use its socket", host)
	}
	transport, scheme := &http.Transport{DisableKeepAlives: true}, "http"
	if certs.folder != "" {
		tls, err := certs.load()
		if err != nil {
			return nil, "", fault.Wrap(fault.Invalid, err, "the certificates for the Docker engine at %s cannot be read: %v", host, err)
		}
		transport.TLSClientConfig, scheme = tls, "https"
	}
	engine, err := client.New(
		client.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}),
		client.WithHost(host), client.WithScheme(scheme), client.WithAPIVersionFromEnv())
	if err != nil {
		return nil, "", fault.Wrap(fault.Invalid, err, "the Docker engine at %s cannot be used: %v", host, err)
	}
	return engine, host, nil
}

// certificates are where TLS material is; the zero value is no TLS.
type certificates struct {
	folder string // with ca.pem, cert.pem and key.pem
	verify bool   // whether the engine must show a certificate of the CA
}

func (c certificates) load() (*tls.Config, error) {
	return tlsconfig.Client(tlsconfig.Options{
		CAFile:             filepath.Join(c.folder, "ca.pem"),
		CertFile:           filepath.Join(c.folder, "cert.pem"),
		KeyFile:            filepath.Join(c.folder, "key.pem"),
		InsecureSkipVerify: !c.verify,
		ExclusiveRootPools: true,
		MinVersion:         tls.VersionTLS12,
	})
}

// certsFromEnv is what DOCKER_TLS_VERIFY and DOCKER_CERT_PATH say. Without the
// second, the certificates are those of the Docker configuration.
func certsFromEnv() certificates {
	c := certificates{folder: os.Getenv(client.EnvOverrideCertPath), verify: os.Getenv(client.EnvTLSVerify) != ""}
	if c.verify && c.folder == "" {
		c.folder = configFolder()
	}
	return c
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
	host  string // "" is the default
	certs certificates
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
		c.certs = certificates{folder: certs, verify: true}
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
