package instancetype

import "strings"

// Names lists the table, for tests that stand outside.
func Names() (names []string) {
	for _, f := range families {
		for s := range strings.FieldsSeq(f.sizes) {
			size, _, _ := strings.Cut(s, ":")
			names = append(names, "ml."+f.name+"."+size)
		}
	}
	return names
}
