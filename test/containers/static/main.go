// Command server predicts with a linear model: the smallest container that a
// SageMaker model can be. It needs nothing but the standard library.
//
// The model is /opt/ml/model/model.json: {"weights": [...], "bias": ...}. A request
// is text/csv, one row a line; the answer has one prediction a line.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
)

type model struct {
	Weights []float64 `json:"weights"`
	Bias    float64   `json:"bias"`
}

func main() {
	m, err := load("/opt/ml/model/model.json")
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /execution-parameters", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"MaxConcurrentTransforms": 4, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}`)
	})
	mux.HandleFunc("POST /invocations", m.invoke)
	port := os.Getenv("SAGEMAKER_BIND_TO_PORT")
	if port == "" {
		port = "8080"
	}
	log.Printf("serving a model of %d weights", len(m.Weights))
	log.Fatal(http.ListenAndServe(":"+port, mux))
}

func load(path string) (model, error) {
	var m model
	data, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func (m model) invoke(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var answer []byte
	n := 0
	for line := range strings.Lines(string(body)) {
		n++
		v, err := m.predict(strings.TrimSpace(line))
		if err != nil {
			http.Error(w, fmt.Sprintf("row %d: %v", n, err), http.StatusBadRequest)
			return
		}
		answer = append(strconv.AppendFloat(answer, v, 'g', -1, 64), '\n')
	}
	w.Header().Set("Content-Type", "text/csv")
	_, _ = w.Write(answer)
}

func (m model) predict(row string) (float64, error) {
	fields := strings.Split(row, ",")
	if len(fields) != len(m.Weights) {
		return 0, fmt.Errorf("%d columns, and the model has %d weights", len(fields), len(m.Weights))
	}
	sum := 0.0
	for i, f := range fields {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, fmt.Errorf("column %d: %w", i+1, err)
		}
		sum += v * m.Weights[i]
	}
	return sum + m.Bias, nil
}
