// Package demo holds what `sagebrush demo` shows: a public dataset with a model
// trained on it and the predictions that XGBoost's own library makes, the
// comparison of others with those, and a plot of them for a terminal. The
// command itself, with the server and the job, is in package cli.
package demo

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"strconv"
)

//go:embed data
var files embed.FS

// Dataset is the price of 53,940 diamonds and a model that estimates it. The
// folder data says where it comes from and under which licence.
type Dataset struct {
	// Features is a CSV without a header: nine numbers a line.
	Features []byte
	// Model is the model.tar.gz of a booster that was trained on four rows of five.
	Model []byte
	// Prices are the true ones in dollars, and Expected those that XGBoost's own
	// library predicts, both in the order of the lines.
	Prices, Expected []float64
}

// Load unpacks the dataset. The caller may change it.
func Load() (*Dataset, error) {
	d := &Dataset{}
	var err error
	if d.Model, err = files.ReadFile("data/model.tar.gz"); err != nil {
		return nil, err
	}
	if d.Features, err = unzip("data/diamonds.csv.gz"); err != nil {
		return nil, err
	}
	for name, column := range map[string]*[]float64{"data/price.csv.gz": &d.Prices, "data/expected.csv.gz": &d.Expected} {
		text, err := unzip(name)
		if err != nil {
			return nil, err
		}
		if *column, err = Column(text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if rows := bytes.Count(d.Features, []byte("\n")); rows != len(d.Prices) || rows != len(d.Expected) {
		return nil, fmt.Errorf("the demo data has %d rows, %d prices and %d predictions", rows, len(d.Prices), len(d.Expected))
	}
	return d, nil
}

// unzip reads one embedded file.
func unzip(name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return text, nil
}

// Column reads one number a line. The last line may lack its end.
func Column(text []byte) ([]float64, error) {
	out := make([]float64, 0, bytes.Count(text, []byte("\n"))+1)
	for line := range bytes.Lines(text) {
		v, err := strconv.ParseFloat(string(bytes.TrimSpace(line)), 64)
		if err != nil {
			return nil, fmt.Errorf("line %d is %.40q and not a number", len(out)+1, line)
		}
		out = append(out, v)
	}
	return out, nil
}

// Split cuts the features into n parts of whole lines and about the same size.
// The parts share memory with d.
func (d *Dataset) Split(n int) [][]byte {
	var parts [][]byte
	rest := d.Features
	for ; n > 1; n-- {
		at := len(rest) / n
		cut := at + bytes.IndexByte(rest[at:], '\n') + 1
		parts, rest = append(parts, rest[:cut]), rest[cut:]
	}
	return append(parts, rest)
}
