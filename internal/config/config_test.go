package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func noEnv(string) (string, bool) { return "", false }

func TestPrecedence(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sagebrush.yaml")
	text := `
listen: 127.0.0.1:1
region: eu-west-1
ready-timeout: 90s
images:
  - image: acme/scorer:*
    command: [python3, scorer.py]
    env: {THREADS: "2"}
remap:
  - {from: "*.dkr.ecr.*/scorer:*", to: "acme/scorer:latest"}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"SAGEBRUSH_LISTEN": "127.0.0.1:2", "SAGEBRUSH_MAX_INSTANCES": "7", "SAGEBRUSH_EPHEMERAL": "true"}[name]
		return v, ok
	}
	c, err := Load(path, env, map[string]any{"listen": "127.0.0.1:3"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:3" || c.Region != "eu-west-1" || c.MaxInstances != 7 || !c.Ephemeral || c.ReadyTimeout != 90*time.Second || c.Compat != Latest {
		t.Errorf("got %+v", c)
	}
	if len(c.Images) != 1 || c.Images[0].Env["THREADS"] != "2" || len(c.Remap) != 1 || c.Remap[0].To != "acme/scorer:latest" {
		t.Errorf("images %+v, remap %+v", c.Images, c.Remap)
	}
	named := func(name string) (string, bool) { return path, name == EnvFile }
	if c, err := Load("", named, nil); err != nil || c.Region != "eu-west-1" {
		t.Errorf("with %s: %+v, %v", EnvFile, c, err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"auth: maybe":         `auth is "maybe", and may be one of auto, open, keys`,
		"account: '12'":       `account is "12"`,
		"lisen: 1.2.3.4:5":    `sets "lisen", which is not a setting`,
		"ready-timeout: soon": "wrong kind",
		"max-instances: 0":    "at least 1",
		"{s3: embedded, s3-endpoint: 'http://127.0.0.1:9'}": "which one is meant",
		"images: [{image: acme, command: [x], dir: here}]":  "absolute path",
		"images: [{image: acme}]":                           "needs an image and a command",
	} {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, noEnv, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error = %v", name, err)
		}
	}
	if _, err := Load("/does/not/exist.yaml", noEnv, nil); err == nil {
		t.Error("a missing file was accepted")
	}
}
