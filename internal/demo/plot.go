package demo

import (
	"fmt"
	"math"
	"strings"
)

// Plot says how a density of points is drawn: Width and Height are the cells of
// the plane, without its axes, which take 8 columns and 2 lines more.
type Plot struct {
	Width, Height int
	// ASCII avoids the block characters.
	ASCII bool
	// X and Y name the axes.
	X, Y string
}

// The shades of a cell, from empty to the fullest.
var (
	blocks = []rune(" ░▒▓█")
	ascii  = []rune(" .:*#")
)

// Density draws where the points (x[i], y[i]) lie, on axes that grow tenfold in
// equal steps. Both axes have the same range, that of x, so that points with
// y = x lie on the diagonal; y outside of it is drawn at the edge. Points with
// x <= 0 are left out. A cell is the darker the more points it has, by orders
// of magnitude. Every line ends in a newline.
func (p Plot) Density(x, y []float64) string {
	low, high := extent(x)
	if !(low < high) {
		return ""
	}
	cells, most := p.count(x, y, low, high)
	marks := blocks
	corner, wall, floor := "└", "│", "─"
	if p.ASCII {
		marks, corner, wall, floor = ascii, "+", "|", "-"
	}
	rows := p.ticks(low, high, p.Height)
	var b strings.Builder
	fmt.Fprintf(&b, "%7s\n", p.Y)
	for r := p.Height - 1; r >= 0; r-- {
		line := make([]rune, p.Width)
		for c := range line {
			line[c] = marks[shade(cells[r*p.Width+c], most, len(marks)-1)]
		}
		fmt.Fprintf(&b, "%7s %s%s\n", rows[r], wall, strings.TrimRight(string(line), " "))
	}
	fmt.Fprintf(&b, "%7s %s%s\n", "", corner, strings.Repeat(floor, p.Width))
	b.WriteString(strings.Repeat(" ", 9) + p.scale(low, high) + "\n")
	return b.String()
}

// extent is the smallest and the largest positive value.
func extent(v []float64) (low, high float64) {
	low = math.Inf(1)
	for _, v := range v {
		if v > 0 {
			low, high = min(low, v), max(high, v)
		}
	}
	return low, high
}

// position is the cell of n in which a value lies on a logarithmic axis.
func position(v, low, high float64, n int) int {
	if !(v > low) {
		return 0
	}
	at := math.Log(v/low) / math.Log(high/low) * float64(n)
	return min(int(at), n-1)
}

// count counts the points of each cell, line by line from the bottom.
func (p Plot) count(x, y []float64, low, high float64) (cells []int, most int) {
	cells = make([]int, p.Width*p.Height)
	for i := range x {
		if !(x[i] > 0) {
			continue
		}
		at := position(y[i], low, high, p.Height)*p.Width + position(x[i], low, high, p.Width)
		cells[at]++
		most = max(most, cells[at])
	}
	return cells, most
}

// shade gives the mark of a cell: 0 only for none, levels only for the fullest.
func shade(n, most, levels int) int {
	if n == 0 {
		return 0
	}
	return 1 + int(math.Log(float64(n))/math.Log(float64(most)+1)*float64(levels))
}

// ticks gives the labels of an axis by cell.
func (p Plot) ticks(low, high float64, n int) map[int]string {
	labels := map[int]string{}
	for power := math.Pow(10, math.Floor(math.Log10(low))); power <= high; power *= 10 {
		for _, step := range []float64{1, 2, 5} {
			if v := power * step; v >= low && v <= high {
				labels[position(v, low, high, n)] = short(v)
			}
		}
	}
	return labels
}

// scale is the line of labels under the plane, with the name of the axis at its end.
func (p Plot) scale(low, high float64) string {
	line := []rune(strings.Repeat(" ", p.Width))
	end := -1 // of the label before
	labels := p.ticks(low, high, p.Width)
	room := p.Width - len([]rune(p.X)) - 1
	for c := range p.Width {
		label := []rune(labels[c])
		if len(label) > 0 && c > end && c+len(label) <= room {
			copy(line[c:], label)
			end = c + len(label)
		}
	}
	copy(line[room+1:], []rune(p.X))
	return string(line)
}

// short writes 500, 1k, 20k.
func short(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%gk", v/1000)
	}
	return fmt.Sprintf("%g", v)
}
