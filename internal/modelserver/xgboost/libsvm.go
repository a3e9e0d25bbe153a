package xgboost

import (
	"bytes"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost/booster"
	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost/scan"
)

// libsvmRows reads text/libsvm: [label] index:value ... on each line. The index
// is the column as it stands, as in XGBoost's own reader; a model that was
// trained on a file that counts from 1 has an unused column 0. What is not
// named is missing. A label, a qid:number and anything behind a # are ignored.
type libsvmRows struct{ lines lines }

func (r *libsvmRows) next(b *booster.Block) (bool, error) {
	line, ok, err := r.lines.next()
	if !ok {
		return false, err
	}
	if i := bytes.IndexByte(line, '#'); i >= 0 {
		line = line[:i]
	}
	for first := true; ; first = false {
		line = bytes.TrimLeft(line, " \t")
		if len(line) == 0 {
			return true, nil
		}
		end := bytes.IndexAny(line, " \t")
		if end < 0 {
			end = len(line)
		}
		if err := libsvmToken(b, line[:end], first); err != nil {
			return false, err
		}
		line = line[end:]
	}
}

func libsvmToken(b *booster.Block, token []byte, first bool) error {
	colon := bytes.IndexByte(token, ':')
	if colon < 0 {
		if _, n := scan.Float(token); first && n == len(token) {
			return nil // the label
		}
		return bad("%s is not index:value", shown(token))
	}
	name, value := token[:colon], token[colon+1:]
	if string(name) == "qid" {
		return nil
	}
	index := 0
	for _, c := range name {
		if !scan.IsDigit(c) || index > math.MaxInt32 {
			index = -1
			break
		}
		index = 10*index + int(c-'0')
	}
	if index < 0 || len(name) == 0 {
		return bad("%s is not index:value", shown(token))
	}
	if index >= b.Features() {
		return tooWide(index+1, b.Features())
	}
	if isNaN(value) {
		return nil
	}
	v, n := scan.Float(value)
	if n == 0 || n != len(value) {
		return badColumn(index+1, "%s is not a number", shown(value))
	}
	return setNumber(b, index, v, value)
}
