package policy

import (
	"fmt"
	"strings"
)

// Keys are the condition keys that a server sets. A key that ends in "/*" stands
// for all that begin like it, such as "aws:RequestTag/*". Case does not matter.
type Keys struct {
	whole    map[string]bool
	prefixes []string
}

// NewKeys makes Keys.
func NewKeys(names ...string) *Keys {
	k := &Keys{whole: map[string]bool{}}
	for _, n := range names {
		n = strings.ToLower(n)
		if prefix, ok := strings.CutSuffix(n, "*"); ok {
			k.prefixes = append(k.prefixes, prefix)
		} else {
			k.whole[n] = true
		}
	}
	return k
}

// check refuses a key that is never set.
func (k *Keys) check(key string) error {
	folded := strings.ToLower(key)
	if k.whole[folded] {
		return nil
	}
	for _, p := range k.prefixes {
		if strings.HasPrefix(folded, p) && len(folded) > len(p) {
			return nil
		}
	}
	return fmt.Errorf("the condition key %q is not one that this server sets", key)
}
