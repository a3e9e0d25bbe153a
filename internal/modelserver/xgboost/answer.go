package xgboost

import (
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost/scan"
)

// An answerFormat is how predictions are written.
type answerFormat struct {
	contentType string
	write       func(dst []byte, predictions []float32, width int, batch bool) []byte
}

// answerFormats are the Accept values that are known, in the order of
// preference for a request that lists several.
var answerFormats = map[string]answerFormat{
	"text/csv":              {"text/csv; charset=utf-8", appendCSV},
	"application/json":      {"application/json", appendJSON},
	"application/jsonlines": {"application/jsonlines", appendJSONLines},
}

// appendCSV writes as AWS's container does. In a batch job each row has a line
// with its prediction, and a row of several predictions is a list in brackets
// (CC-62). In hosting the predictions are one comma list; rows of several
// predictions stand on a line each.
func appendCSV(dst []byte, predictions []float32, width int, batch bool) []byte {
	for at := 0; at < len(predictions); at += width {
		row := predictions[at : at+width]
		switch {
		case batch && width > 1:
			dst = append(appendList(append(dst, '['), row, ", "), ']', '\n')
		case batch:
			dst = append(scan.AppendFloat(dst, row[0]), '\n')
		default:
			if at > 0 && width > 1 {
				dst = append(dst, '\n')
			} else if at > 0 {
				dst = append(dst, ',')
			}
			dst = appendList(dst, row, ",")
		}
	}
	return dst
}

func appendList(dst []byte, row []float32, comma string) []byte {
	for i, v := range row {
		if i > 0 {
			dst = append(dst, comma...)
		}
		dst = scan.AppendFloat(dst, v)
	}
	return dst
}

// appendJSON writes {"predictions": [{"score": ..}, ..]} (RF-23).
func appendJSON(dst []byte, predictions []float32, width int, _ bool) []byte {
	dst = append(dst, `{"predictions": [`...)
	for at := 0; at < len(predictions); at += width {
		if at > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendScore(dst, predictions[at:at+width])
	}
	return append(dst, "]}"...)
}

func appendJSONLines(dst []byte, predictions []float32, width int, _ bool) []byte {
	for at := 0; at < len(predictions); at += width {
		dst = append(appendScore(dst, predictions[at:at+width]), '\n')
	}
	return dst
}

func appendScore(dst []byte, row []float32) []byte {
	dst = append(dst, `{"score": `...)
	if len(row) == 1 {
		return append(appendJSONFloat(dst, row[0]), '}')
	}
	dst = append(dst, '[')
	for i, v := range row {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendJSONFloat(dst, v)
	}
	return append(dst, "]}"...)
}

// appendJSONFloat writes null for what JSON has no number for.
func appendJSONFloat(dst []byte, v float32) []byte {
	if v != v || math.IsInf(float64(v), 0) {
		return append(dst, "null"...)
	}
	return scan.AppendFloat(dst, v)
}
