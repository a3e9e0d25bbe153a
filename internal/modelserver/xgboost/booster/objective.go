package booster

import (
	"fmt"
	"math"
)

// An objective is what XGBoost's objective function does outside training: it
// turns a stored base score into a margin, and margins into predictions.
type objective struct {
	margin func(base float32) float32      // nil: the base score is a margin
	values func(sums []float32) []float32  // predictions of one row, in place
	single bool                            // one prediction a row, whatever the groups
	check  func(base float32) (bad string) // nil: any base score will do
}

// objectiveNamed returns the objective of a model. The names are those of
// XGBoost 3; reg:linear is the old name of reg:squarederror. An unknown one is
// an error, since its predictions could only be guessed.
func objectiveNamed(name string) (objective, error) {
	identity := objective{values: func(sums []float32) []float32 { return sums }}
	exponential := objective{margin: logarithm, values: exponentials, check: positive}
	switch name {
	case "reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror",
		"binary:logitraw", "rank:pairwise", "rank:ndcg", "rank:map":
		return identity, nil
	case "reg:logistic", "binary:logistic":
		return objective{margin: logit, values: sigmoids, check: probability}, nil
	case "count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft":
		return exponential, nil
	case "binary:hinge":
		return objective{values: hinges}, nil
	case "multi:softprob":
		return objective{values: softprob}, nil
	case "multi:softmax":
		return objective{values: softmax, single: true}, nil
	}
	return objective{}, fmt.Errorf("objective %q is not supported", name)
}

func probability(base float32) string {
	if base < 0 || base > 1 || base != base {
		return "must lie between 0 and 1"
	}
	return ""
}

func positive(base float32) string {
	if !(base > 0) || math.IsInf(float64(base), 1) {
		return "must be above 0"
	}
	return ""
}

// logit is the margin of a probability. XGBoost 3 moves 0 and 1 by 1e-6 to keep
// the margin finite; older releases never wrote them.
func logit(p float32) float32 {
	const edge = 1e-6
	switch p {
	case 0:
		p = edge
	case 1:
		p = 1 - edge
	}
	return -float32(math.Log(float64(1/p - 1)))
}

func logarithm(base float32) float32 { return float32(math.Log(float64(base))) }

func exp32(x float32) float32 { return float32(math.Exp(float64(x))) }

func exponentials(sums []float32) []float32 {
	for i, s := range sums {
		sums[i] = exp32(s)
	}
	return sums
}

// sigmoids keeps the exponent below the largest that float32 can hold, as
// XGBoost does.
func sigmoids(sums []float32) []float32 {
	for i, s := range sums {
		sums[i] = 1 / (exp32(min(-s, 88.7)) + 1)
	}
	return sums
}

func hinges(sums []float32) []float32 {
	for i, s := range sums {
		sums[i] = 0
		if s > 0 {
			sums[i] = 1
		}
	}
	return sums
}

// softprob sums in float64 and divides in float32, as XGBoost does.
func softprob(sums []float32) []float32 {
	most := sums[0]
	for _, s := range sums[1:] {
		most = max(most, s)
	}
	total := 0.0
	for i, s := range sums {
		sums[i] = exp32(s - most)
		total += float64(sums[i])
	}
	for i := range sums {
		sums[i] /= float32(total)
	}
	return sums
}

// softmax answers the class with the largest margin, the first one of equals.
func softmax(sums []float32) []float32 {
	best := 0
	for i, s := range sums {
		if s > sums[best] {
			best = i
		}
	}
	sums[0] = float32(best)
	return sums[:1]
}
