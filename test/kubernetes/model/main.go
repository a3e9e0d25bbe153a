// Command model is a container that answers each line with its length, the line in
// upper case and what its model's file says. It runs as a process and in a pod.
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

func main() {
	weights, err := os.ReadFile(filepath.Join(cmp.Or(os.Getenv("SM_MODEL_DIR"), "/opt/ml/model"), "weights"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "the model:", err)
		os.Exit(1)
	}
	weights = bytes.TrimSpace(weights)
	http.HandleFunc("GET /ping", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("POST /invocations", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // whoever asked has gone
		}
		for line := range bytes.Lines(body) {
			fmt.Fprintf(w, "%d %s %s\n", len(line), bytes.ToUpper(bytes.TrimSpace(line)), weights)
		}
	})
	fmt.Println("the model serves")
	fmt.Fprintln(os.Stderr, http.ListenAndServe(net.JoinHostPort(os.Getenv("SAGEBRUSH_BIND_HOST"), cmp.Or(os.Getenv("SAGEMAKER_BIND_TO_PORT"), "8080")), nil))
	os.Exit(1)
}
