package cli

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/dirstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/s3store"
)

// The buckets that stand for the user's folders. No bucket of S3 can have a colon
// in its name.
const (
	inputBucket  = "local:input"
	modelBucket  = "local:model"
	outputBucket = "local:output"
)

// places are where a job without a server reads and writes.
type places struct {
	// input, model and output are the S3 URIs that the job gets; model may be "".
	input, model, output string
	// folders are the local folders and files behind buckets, absolute.
	folders map[string]string
	// made is an output folder that did not exist before, or "".
	made string
}

// isS3 reports whether a place is in S3. https:// URIs of S3 are, too.
func isS3(place string) bool {
	return strings.HasPrefix(place, "s3://") || strings.HasPrefix(place, "https://")
}

// locate finds out where a job reads and writes and makes the output folder.
func locate(input, model, output string) (*places, error) {
	p := &places{input: input, model: model, output: output, folders: map[string]string{}}
	var err error
	if !isS3(input) {
		if p.input, err = p.source(inputBucket, "--input", input); err != nil {
			return nil, err
		}
	}
	if model != "" && !isS3(model) {
		if p.model, err = p.source(modelBucket, "--model-data", model); err != nil {
			return nil, err
		}
		if strings.HasSuffix(p.model, "/") {
			return nil, usage("--model-data is the folder %s, and must be a .tar.gz file", model).
				hint("tar -czf model.tar.gz -C %s .", model)
		}
	}
	if !isS3(output) {
		return p, p.target(output)
	}
	return p, nil
}

// source makes a bucket of something that is read: a folder, or a single file.
func (p *places) source(bucket, flag, path string) (uri string, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	fi, err := os.Stat(abs)
	if err != nil {
		return "", usage("%s: there is no file or folder %s", flag, path).because(err).hint("an object in S3 is written s3://BUCKET/KEY")
	}
	if fi.IsDir() {
		p.folders[bucket] = abs
		return "s3://" + bucket + "/", nil
	}
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return "", err
	}
	p.folders[bucket] = abs
	return "s3://" + bucket + "/" + filepath.Base(abs), nil
}

// target makes the output's bucket, and its folder.
func (p *places) target(path string) error {
	if path == "json" || path == "text" {
		return usage("--output is where the results of this command go, and %q looks like a format", path).
			hint("--json prints the summary as JSON").hint("a folder of that name is ./%s", path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if in := p.folders[inputBucket]; in != "" && strings.HasPrefix(abs+"/", in+"/") && strings.HasSuffix(p.input, "/") {
		return usage("--output %s is within --input: the next run would take the results for input", path).hint("choose a folder beside it")
	}
	if !exists(abs) {
		p.made = abs
	}
	if err := os.MkdirAll(abs, 0o755); err != nil {
		return usage("--output: the folder %s cannot be made: %v", path, errors.Unwrap(err)).because(err)
	}
	p.folders[outputBucket], p.output = abs, "s3://"+outputBucket+"/"
	return nil
}

// unmake takes an output folder away that was made in vain. One that holds
// something stays.
func (p *places) unmake() {
	if p.made != "" {
		_ = os.Remove(p.made) // fails when it holds something
	}
}

// open makes the store over all places. The caller must call close.
func (p *places) open(ctx context.Context) (store objstore.Store, closeAll func() error, err error) {
	local, err := dirstore.New(p.folders)
	if err != nil {
		return nil, nil, err
	}
	remote, err := s3store.New(ctx, s3store.Config{})
	if err != nil {
		return nil, nil, errors.Join(err, local.Close())
	}
	ours := map[string]bool{}
	for bucket := range p.folders {
		ours[bucket] = true
	}
	return router{local: local, remote: remote, ours: ours}, func() error { return errors.Join(remote.Close(), local.Close()) }, nil
}

// translate writes the user's paths in place of the buckets that stand for them.
func (p *places) translate(text string) string {
	buckets := []string{inputBucket, modelBucket, outputBucket}
	slices.SortFunc(buckets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, bucket := range buckets {
		at := p.folders[bucket]
		if at == "" {
			continue
		}
		if fi, err := os.Stat(at); err == nil && !fi.IsDir() {
			at = filepath.Dir(at)
		}
		at = strings.TrimSuffix(at, "/") + "/"
		text = strings.ReplaceAll(text, "s3://"+bucket+"/", at)
		text = strings.ReplaceAll(text, bucket+"/", at)
		text = strings.ReplaceAll(text, bucket, strings.TrimSuffix(at, "/"))
	}
	return text
}

// words splits a command line as a shell does, without expansions: blanks part
// words, quotes and a backslash keep what follows together.
func words(line string) ([]string, error) {
	var out []string
	var word strings.Builder
	in, quoteMark, escaped := false, rune(0), false
	for _, r := range line {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quoteMark != '\'':
			in, escaped = true, true
		case quoteMark != 0 && r == quoteMark:
			quoteMark = 0
		case quoteMark != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			in, quoteMark = true, r
		case r == ' ' || r == '\t' || r == '\n':
			if in {
				out = append(out, word.String())
				word.Reset()
				in = false
			}
		default:
			in = true
			word.WriteRune(r)
		}
	}
	if quoteMark != 0 || escaped {
		return nil, fault.New(fault.Invalid, "a quote or a backslash at the end is not closed")
	}
	if in {
		out = append(out, word.String())
	}
	return out, nil
}
