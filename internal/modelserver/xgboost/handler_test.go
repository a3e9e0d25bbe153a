package xgboost

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// call sends one request to a handler over the model and returns its answer.
func call(t *testing.T, o Options, method, path, body string, headers ...string) (int, string, http.Header) {
	t.Helper()
	if o.Model == nil {
		o.Model = load(t, "regression.json")
	}
	h, err := NewHandler(o)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String(), w.Header()
}

func TestPing(t *testing.T) {
	t.Parallel()
	if code, body, _ := call(t, Options{}, "GET", "/ping", ""); code != 200 || body != "" {
		t.Errorf("%d %q", code, body)
	}
}

// TestExecutionParameters: CC-30 and CC-36, with the 84 bytes that were seen
// for four cores.
func TestExecutionParameters(t *testing.T) {
	t.Parallel()
	h, err := NewHandler(Options{Model: load(t, "binary.json")})
	if err != nil {
		t.Fatal(err)
	}
	h.cores = 4
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/execution-parameters", nil))
	var got struct {
		MaxConcurrentTransforms, MaxPayloadInMB int
		BatchStrategy                           string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatal(w.Code, err)
	}
	if got.MaxConcurrentTransforms != 4 || got.MaxPayloadInMB != 6 || got.BatchStrategy != "MULTI_RECORD" || w.Body.Len() != 84 {
		t.Errorf("%d bytes: %s", w.Body.Len(), w.Body)
	}
}

// TestAnswers covers the forms of an answer: CC-62 for text/csv, and the
// formats of JSON.
func TestAnswers(t *testing.T) {
	t.Parallel()
	one, three := load(t, "regression.json"), load(t, "softprob.json")
	class := load(t, "softmax.json")
	const row1, row2 = "0.5,1,2,3,0,0,0,0\n", ",,,,,,,\n"
	// What XGBoost 1.7.4 predicts for the two rows, as NumPy writes a float32.
	const v1, v2 = "2.2088206", "-0.17139767"
	const p1, p2 = "0.07896613, 0.6169896, 0.30404422", "0.2438868, 0.5701257, 0.18598756"
	for _, c := range []struct {
		name   string
		o      Options
		accept string
		want   string
		kind   string
	}{
		{"batch csv (CC-62)", Options{Model: one, Batch: true}, "text/csv", v1 + "\n" + v2 + "\n", "text/csv; charset=utf-8"},
		{"hosting csv (CC-62)", Options{Model: one}, "text/csv", v1 + "," + v2, "text/csv; charset=utf-8"},
		{"no accept", Options{Model: one}, "", v1 + "," + v2, "text/csv; charset=utf-8"},
		{"any accept", Options{Model: one}, "*/*", v1 + "," + v2, "text/csv; charset=utf-8"},
		{"default accept", Options{Model: one, DefaultAccept: "application/jsonlines"}, "*/*",
			`{"score": ` + v1 + "}\n" + `{"score": ` + v2 + "}\n", "application/jsonlines"},
		{"json", Options{Model: one}, "application/json; charset=utf-8",
			`{"predictions": [{"score": ` + v1 + `}, {"score": ` + v2 + `}]}`, "application/json"},
		{"first that is known", Options{Model: one}, "image/png, text/csv;q=0, Application/JSON",
			`{"predictions": [{"score": ` + v1 + `}, {"score": ` + v2 + `}]}`, "application/json"},
		{"json lines in batch", Options{Model: one, Batch: true}, "application/jsonlines",
			`{"score": ` + v1 + "}\n" + `{"score": ` + v2 + "}\n", "application/jsonlines"},
		{"batch csv of lists", Options{Model: three, Batch: true}, "text/csv", "[" + p1 + "]\n[" + p2 + "]\n", "text/csv; charset=utf-8"},
		{"hosting csv of lists", Options{Model: three}, "text/csv", strings.ReplaceAll(p1+"\n"+p2, " ", ""), "text/csv; charset=utf-8"},
		{"json of lists", Options{Model: three}, "application/json",
			`{"predictions": [{"score": [` + p1 + `]}, {"score": [` + p2 + `]}]}`, "application/json"},
		{"json lines of lists", Options{Model: three}, "application/jsonlines",
			`{"score": [` + p1 + "]}\n" + `{"score": [` + p2 + "]}\n", "application/jsonlines"},
		{"a class", Options{Model: class, Batch: true}, "text/csv", "1.0\n1.0\n", "text/csv; charset=utf-8"},
	} {
		headers := []string{"Content-Type", "text/csv; charset=utf-8"}
		if c.accept != "" {
			headers = append(headers, "Accept", c.accept)
		}
		code, body, h := call(t, c.o, "POST", "/invocations", row1+row2, headers...)
		if code != 200 || body != c.want || h.Get("Content-Type") != c.kind {
			t.Errorf("%s: %d %s %q, want %q", c.name, code, h.Get("Content-Type"), body, c.want)
		}
	}
}

// TestStatuses covers the answers other than 200: CC-63 for an empty body,
// CC-60 for a large one.
func TestStatuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, method, path, body, header, value string
		code                                    int
		want                                    string
	}{
		{"empty body (CC-63)", "POST", "/invocations", "", "Content-Type", "text/csv", 204, ""},
		{"empty body of any type", "POST", "/invocations", "", "Content-Type", "image/png", 204, ""},
		{"unknown type", "POST", "/invocations", "1", "Content-Type", "image/png", 415, `"image/png"`},
		{"compressed", "POST", "/invocations", "1", "Content-Encoding", "gzip", 415, `"gzip"`},
		{"unknown accept", "POST", "/invocations", "0:1", "Accept", "image/png", 406, `"image/png"`},
		{"no content type is libsvm (CC-51)", "POST", "/invocations", "0:0.5 1:1", "", "", 200, "."},
		{"csv without content type", "POST", "/invocations", "1,2,3", "", "", 400, "row 1: "},
		{"bad number", "POST", "/invocations", "1,2\n3,x\n", "Content-Type", "text/csv", 400, `row 2, column 2: "x" is not a number`},
		{"too many columns", "POST", "/invocations", "1,2,3,4,5,6,7,8,9", "Content-Type", "text/csv", 400, "9 columns, but the model was trained with 8 features"},
		{"no rows", "POST", "/invocations", "\n", "Content-Type", "text/csv", 400, "no rows"},
		{"too large (CC-60)", "POST", "/invocations", strings.Repeat("1\n", 600), "Content-Type", "text/csv", 413, "1000 bytes"},
		{"wrong method", "GET", "/invocations", "", "", "", 405, ""},
		{"wrong path", "GET", "/models", "", "", "", 404, ""},
	} {
		code, body, _ := call(t, Options{MaxBody: 1000}, c.method, c.path, c.body, c.header, c.value)
		if code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %q, want %d with %q", c.name, code, body, c.code, c.want)
		}
	}
}

// TestChunkedBody: a body without a length is counted as it comes (CC-54).
func TestChunkedBody(t *testing.T) {
	t.Parallel()
	h, err := NewHandler(Options{Model: load(t, "regression.json"), MaxBody: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for rows, want := range map[int]int{500: 200, 501: 413} {
		r := httptest.NewRequest("POST", "/invocations", io.MultiReader(strings.NewReader(strings.Repeat("1\n", rows))))
		r.ContentLength = -1
		r.Header.Set("Content-Type", "text/csv")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%d rows: %d %s, want %d", rows, w.Code, w.Body, want)
		}
	}
}

// TestOneConnection sends requests of every outcome over one connection, as a
// batch client does (CC-26), and many at once.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	h, err := NewHandler(Options{Model: load(t, "binary.json"), Batch: true})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	csv := bytes.Repeat(read(t, "numeric.csv"), 20)
	want := ""
	for i := range 12 {
		body := csv
		if i%3 == 1 {
			body = []byte("1,x\n")
		}
		resp, err := server.Client().Post(server.URL+"/invocations", "text/csv", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case i%3 == 1:
			if resp.StatusCode != 400 {
				t.Errorf("request %d: %s", i, resp.Status)
			}
		case want == "":
			want = string(got)
			if strings.Count(want, "\n") != 3000 {
				t.Errorf("%d lines", strings.Count(want, "\n"))
			}
		case string(got) != want:
			t.Errorf("request %d answers otherwise", i)
		}
	}
}

func TestDefaultAcceptIsChecked(t *testing.T) {
	t.Parallel()
	if _, err := NewHandler(Options{DefaultAccept: "image/png"}); err == nil {
		t.Error("taken")
	}
}

func BenchmarkInvocation(b *testing.B) {
	h, err := NewHandler(Options{Model: demoModel(b), Batch: true, MaxBody: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	csv := unzip(b, "diamonds.csv.gz")
	one := csv[:bytes.IndexByte(csv, '\n')+1]
	for name, body := range map[string][]byte{"one row": one, "53940 rows": csv} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				resp, err := server.Client().Post(server.URL+"/invocations", "text/csv", bytes.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
}

// put writes a file of testdata into a model folder under another name.
func put(t *testing.T, folder, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(folder+"/"+name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
