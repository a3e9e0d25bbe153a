// Command apigen writes the generated part of internal/wire: the structs, the
// constraints and the operation names of the SageMaker control plane, from the
// official API model. Run it by
//
//	go generate ./internal/wire
//
// in the root of the repository. The model file comes from the module
// aws-sdk-go, which is fetched into the module cache and never compiled; what
// the API got later is in overlay.go. No sentence of AWS's documentation is
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

// sdkModule has the model; modelFile is where.
const (
	sdkModule = "github.com/aws/aws-sdk-go"
	modelFile = "models/apis/sagemaker/2017-07-24/api-2.json"
)

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
	m, err := readModel(filepath.Join(dir, filepath.FromSlash(modelFile)))
	if err != nil {
		return err
	}
	files, err := generate(m, served, sdkModule+" "+version)
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(out, name), text, 0o644); err != nil {
			return err
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
