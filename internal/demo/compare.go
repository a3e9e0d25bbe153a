package demo

import (
	"fmt"
	"math"
)

// Tolerance is how far a prediction may be from XGBoost's own, relative to that
// one where it is over 1 and absolute under it.
const Tolerance = 1e-5

// HeldOut reports whether training never saw a row, counted from 0.
func HeldOut(row int) bool { return row%5 == 4 }

// Comparison is how good predictions are, and how near to XGBoost's own.
type Comparison struct {
	Rows int `json:"rows"`
	// Equal rows have the very same number.
	Equal int `json:"equal"`
	// MaxDifference is the largest one by the measure of Tolerance, at WorstRow,
	// counted from 1.
	MaxDifference float64 `json:"maxDifference"`
	WorstRow      int     `json:"worstRow"`
	// HeldOutRows were not used in training; R2 and RMSE (in dollars) are theirs.
	HeldOutRows int     `json:"heldOutRows"`
	R2          float64 `json:"r2"`
	RMSE        float64 `json:"rmse"`
}

// Same reports whether all predictions are XGBoost's own within Tolerance.
func (c Comparison) Same() bool { return c.MaxDifference <= Tolerance }

// Compare looks at predictions in the order of the rows. It is an error when
// there are more or fewer than rows.
func (d *Dataset) Compare(predicted []float64) (Comparison, error) {
	c := Comparison{Rows: len(d.Expected)}
	if len(predicted) != c.Rows {
		return c, fmt.Errorf("there are %d predictions for %d rows", len(predicted), c.Rows)
	}
	for i, p := range predicted {
		want := d.Expected[i]
		diff := math.Abs(p-want) / max(1, math.Abs(want))
		if p == want {
			c.Equal++
		}
		if diff > c.MaxDifference || math.IsNaN(diff) {
			if c.MaxDifference, c.WorstRow = diff, i+1; math.IsNaN(diff) {
				c.MaxDifference = math.Inf(1) // nothing is worse
			}
		}
	}
	d.score(&c, predicted)
	return c, nil
}

// score fills in how well the rows that training did not see are predicted.
func (d *Dataset) score(c *Comparison, predicted []float64) {
	mean := 0.0
	for i, price := range d.Prices {
		if HeldOut(i) {
			c.HeldOutRows++
			mean += price
		}
	}
	mean /= float64(c.HeldOutRows)
	left, all := 0.0, 0.0
	for i, price := range d.Prices {
		if HeldOut(i) {
			left += (price - predicted[i]) * (price - predicted[i])
			all += (price - mean) * (price - mean)
		}
	}
	c.R2 = 1 - left/all
	c.RMSE = math.Sqrt(left / float64(c.HeldOutRows))
}
