// Command apigen writes the generated part of internal/wire and of its
// sub-packages: the structs, the constraints and the operation names of the
// SageMaker control plane and of the services beside it, from the official API
// models. Run it by
//
//	go generate ./internal/wire
//
// in the root of the repository. The model files come from the module
// aws-sdk-go, which is fetched into the module cache and never compiled; what
// an API got later is in its overlay. No sentence of AWS's documentation is
// read or written.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// sdkModule has the models.
const sdkModule = "github.com/aws/aws-sdk-go"

func main() {
	out := flag.String("out", "", "folder of the package wire")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "apigen:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	if out == "" {
		return fmt.Errorf("-out is missing")
	}
	dir, version, err := fetchSDK()
	if err != nil {
		return err
	}
	for _, s := range services {
		m, err := readModel(filepath.Join(dir, filepath.FromSlash(s.model)))
		if err != nil {
			return err
		}
		files, err := generate(m, s, sdkModule+" "+version)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(out, s.folder, name), text, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetchSDK gives the folder of the SDK's module in the module cache.
func fetchSDK() (dir, version string, err error) {
	list := exec.Command("go", "list", "-m", "-f", "{{.Version}}", sdkModule)
	list.Stderr = os.Stderr
	v, err := list.Output()
	if err != nil {
		return "", "", fmt.Errorf("go list %s: %w", sdkModule, err)
	}
	version = string(bytes.TrimSpace(v))
	get := exec.Command("go", "mod", "download", "-json", sdkModule+"@"+version)
	get.Stderr = os.Stderr
	b, err := get.Output()
	if err != nil {
		return "", "", fmt.Errorf("go mod download %s: %w", sdkModule, err)
	}
	var info struct{ Dir string }
	if err := json.Unmarshal(b, &info); err != nil {
		return "", "", fmt.Errorf("go mod download %s: %w", sdkModule, err)
	}
	return info.Dir, version, nil
}
