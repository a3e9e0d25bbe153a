package xgboost

import (
	"errors"
	"fmt"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost/booster"
	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost/scan"
)

// jsonRows reads application/jsonlines: on each line the list of a row's
// numbers, {"features": list} or {"data": {"features": {"values": list}}}. null
// and NaN are missing values; other members are passed over.
type jsonRows struct{ lines lines }

// A rowCursor reads a row out of JSON.
type rowCursor struct{ scan.Cursor }

// errNoRow marks a line in which the list of numbers is not where it should be.
var errNoRow = errors.New(`no list of numbers: a line is [..], {"features": [..]} or {"data": {"features": {"values": [..]}}}`)

func (r *jsonRows) next(b *booster.Block) (bool, error) {
	line, ok, err := r.lines.next()
	if !ok {
		return false, err
	}
	c := &rowCursor{scan.Cursor{Data: line}}
	if c.Peek() == '[' {
		err = c.row(b)
	} else {
		err = c.wrapped(b)
	}
	if err != nil {
		var row *badRow
		if errors.As(err, &row) {
			return false, err
		}
		return false, bad("%v", err)
	}
	if c.Peek(); c.At < len(line) {
		return false, bad("%v", c.Fail("more text behind the row"))
	}
	return true, nil
}

// wrapped reads a row that is held in objects, from the outermost one on.
func (c *rowCursor) wrapped(b *booster.Block) error {
	lists, err := c.object(b, 0)
	if err == nil && lists != 1 {
		return errNoRow
	}
	return err
}

// object reads the object of the given level and returns how many lists of
// numbers it held. Level 0 has a list "features" or the object "data" of level
// 1, that has the object "features" of level 2, that has the list "values".
// Other members are passed over.
func (c *rowCursor) object(b *booster.Block, level int) (lists int, err error) {
	if c.Peek() != '{' {
		return 0, errNoRow
	}
	err = c.Members(func(name []byte) error {
		switch {
		case level == 0 && string(name) == "features", level == 2 && string(name) == "values":
			if c.Peek() != '[' {
				return errNoRow
			}
			lists++
			return c.row(b)
		case level == 0 && string(name) == "data", level == 1 && string(name) == "features":
			inner, err := c.object(b, level+1)
			lists += inner
			return err
		}
		return c.Skip(scan.MaxDepth)
	})
	return lists, err
}

// row reads a list of numbers into the block's row.
func (c *rowCursor) row(b *booster.Block) error {
	c.At++
	if c.Take(']') {
		return nil
	}
	for column := 0; ; column++ {
		if column == b.Features() {
			return fmt.Errorf("it has more than the %d features that the model was trained with", column)
		}
		c.Peek()
		start := c.At
		if !c.Word("null") {
			v, ok := c.numberInRow()
			if !ok {
				return badColumn(column+1, "not a number")
			}
			if v == v {
				if err := setNumber(b, column, v, c.Data[start:c.At]); err != nil {
					return err
				}
			}
		}
		if c.Take(']') {
			return nil
		}
		if !c.Take(',') {
			return badColumn(column+1, "a comma or ] is missing behind it")
		}
	}
}

// numberInRow reads a number as the float32 nearest to it, or NaN.
func (c *rowCursor) numberInRow() (float32, bool) {
	if v, n := scan.Float(c.Data[c.At:]); n > 0 {
		c.At += n
		return v, true
	}
	return float32(math.NaN()), c.Word("NaN")
}
