package daemon

import (
	"bytes"
	"encoding/base64"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/config"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
)

// openWith opens a daemon that is not run, with secrets of the environment.
func openWith(t *testing.T, data string, log *bytes.Buffer, env map[string]string) (*Daemon, error) {
	t.Helper()
	c, err := config.Load("", func(name string) (string, bool) { v, ok := env[name]; return v, ok }, map[string]any{"listen": "127.0.0.1:0", "data": data})
	if err != nil {
		t.Fatal(err)
	}
	return Open(t.Context(), Options{Config: c, Version: "test", Self: []string{os.Args[0]}, Log: slog.New(slog.NewTextHandler(log, nil))})
}

// The master key moves from its file to the environment, to another and to a
// passphrase; each step needs the one before, and no step shows a key.
func TestMasterKeyChanges(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	file := filepath.Join(data, "master.key")
	key := func(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }
	const passphrase = "correct horse battery staple"
	var log bytes.Buffer
	var wrapped keyring.DataKey
	var inFile string
	step := func(name string, env map[string]string, after func(d *Daemon)) {
		t.Helper()
		d, err := openWith(t, data, &log, env)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if wrapped.Wrapped != nil {
			got, err := d.keystore.Decrypt(t.Context(), keyring.ID{Region: "us-east-1", Name: wrapped.KeyARN}, wrapped.Wrapped, nil)
			if err != nil || !bytes.Equal(got, wrapped.Plaintext) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if after != nil {
			after(d)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(name string, env map[string]string) {
		t.Helper()
		d, err := openWith(t, data, &log, env)
		if err == nil {
			d.Close()
		}
		if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.TextOf(err), "sealed under the master key") {
			t.Errorf("%s: %v", name, err)
		}
	}
	step("file", nil, func(d *Daemon) {
		k, err := d.keystore.Create(t.Context(), "us-east-1", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if wrapped, err = d.keystore.GenerateDataKey(t.Context(), keyring.ID{Region: "us-east-1", Name: k.ID}, nil); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		inFile = strings.TrimSpace(string(text))
	})
	first := map[string]string{config.EnvMasterKey: key(1)}
	step("the file's key is former", first, nil)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	step("environment", first, nil)
	refused("without", nil)
	if err := os.Remove(file); err != nil { // a fresh one was made
		t.Fatal(err)
	}
	refused("another", map[string]string{config.EnvMasterKey: key(2)})
	words := map[string]string{config.EnvMasterPassphrase: passphrase}
	refused("passphrase alone", words)
	words[config.EnvFormerMasterKey] = key(1)
	step("from key to passphrase", words, nil)
	delete(words, config.EnvFormerMasterKey)
	step("passphrase", words, nil)
	refused("former key", first)

	for what, secret := range map[string]string{
		"file's key": inFile, "first key": key(1), "second key": key(2), "passphrase": passphrase,
		"data key": string(wrapped.Plaintext), "data key in base64": base64.StdEncoding.EncodeToString(wrapped.Plaintext),
	} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log shows the %s (I8): %s", what, log.String())
		}
		err := fs.WalkDir(os.DirFS(data), ".", func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			text, err := os.ReadFile(filepath.Join(data, name))
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s holds the %s", name, what)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
