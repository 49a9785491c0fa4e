// Answers questions with Helm's own packages: one JSON object a line in, one a line out.
//
// A process of real Helm costs a tenth of a second; here a chart costs a millisecond, which is what makes comparing tens of
// thousands of random charts possible. What is asked is what `helm template` does between its flags and its output.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/kube"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/strvals"
	"sigs.k8s.io/yaml"
)

type question struct {
	// Kind is "render", "yaml" or "strict".
	Kind string `json:"kind"`
	// Files of a chart, in the order of loading.
	Files [][2]string `json:"files"`
	// Values are the texts of values files.
	Values  []string `json:"values"`
	JSON    []string `json:"json"`
	Set     []string `json:"set"`
	String  []string `json:"string"`
	Literal []string `json:"literal"`
	// Text of a YAML document.
	Text string `json:"text"`
}

type answer struct {
	Out string `json:"out"`
	Err string `json:"err"`
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return
		}
		var asked question
		if err := json.Unmarshal(line, &asked); err != nil {
			panic(err)
		}
		answered, err := json.Marshal(within(&asked))
		if err != nil {
			panic(err)
		}
		out.Write(append(answered, '\n'))
		if in.Buffered() == 0 {
			out.Flush()
		}
	}
}

// within gives up on what takes too long. The work goes on in its goroutine, so a run should have few of these.
func within(asked *question) answer {
	done := make(chan answer, 1)
	go func() { done <- answerTo(asked) }()
	select {
	case answered := <-done:
		return answered
	case <-time.After(20 * time.Second):
		return answer{Err: "TOO LONG"}
	}
}

func answerTo(asked *question) (answered answer) {
	defer func() {
		if reason := recover(); reason != nil {
			answered = answer{Err: fmt.Sprintf("PANIC %v", reason)}
		}
	}()
	var text string
	var err error
	switch asked.Kind {
	case "render":
		text, err = render(asked)
	case "yaml":
		text, err = roundTrip(asked.Text, yaml.Unmarshal)
	case "strict":
		text, err = roundTrip(asked.Text, yaml.UnmarshalStrict)
	default:
		err = errors.New("unknown kind " + asked.Kind)
	}
	if err != nil {
		return answer{Out: text, Err: err.Error()}
	}
	return answer{Out: text}
}

// roundTrip reads a document and writes it as JSON and as YAML.
func roundTrip(text string, read func([]byte, any, ...yaml.JSONOpt) error) (string, error) {
	var value any
	if err := read([]byte(text), &value); err != nil {
		return "", err
	}
	asJSON, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	asYAML, err := yaml.Marshal(value)
	return string(asJSON) + "\n" + string(asYAML), err
}

// merge does what pkg/cli/values does, with texts instead of files.
func merge(asked *question) (map[string]any, error) {
	base := map[string]any{}
	for i, text := range asked.Values {
		current, err := loader.LoadValues(strings.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("failed to parse %d.yaml: %w", i, err)
		}
		base = loader.MergeMaps(base, current)
	}
	for _, value := range asked.JSON {
		trimmed := strings.TrimSpace(value)
		if trimmed != "" && trimmed[0] == '{' {
			var object map[string]any
			if err := json.Unmarshal([]byte(trimmed), &object); err != nil {
				return nil, fmt.Errorf("failed parsing --set-json data JSON: %s", value)
			}
			base = loader.MergeMaps(base, object)
		} else if err := strvals.ParseJSON(value, base); err != nil {
			return nil, fmt.Errorf("failed parsing --set-json data %s", value)
		}
	}
	for _, value := range asked.Set {
		if err := strvals.ParseInto(value, base); err != nil {
			return nil, fmt.Errorf("failed parsing --set data: %w", err)
		}
	}
	for _, value := range asked.String {
		if err := strvals.ParseIntoString(value, base); err != nil {
			return nil, fmt.Errorf("failed parsing --set-string data: %w", err)
		}
	}
	for _, value := range asked.Literal {
		if err := strvals.ParseLiteralInto(value, base); err != nil {
			return nil, fmt.Errorf("failed parsing --set-literal data: %w", err)
		}
	}
	return base, nil
}

func render(asked *question) (string, error) {
	values, err := merge(asked)
	if err != nil {
		return "", err
	}
	files := make([]*archive.BufferedFile, 0, len(asked.Files))
	for _, file := range asked.Files {
		files = append(files, &archive.BufferedFile{Name: file[0], Data: []byte(file[1])})
	}
	loaded, err := loader.LoadFiles(files)
	if err != nil {
		return "", err
	}
	if loaded.Metadata.Type == "library" {
		return "", errors.New("library charts are not installable")
	}
	if err := dependencies(loaded); err != nil {
		return "", err
	}
	install := action.NewInstall(action.NewConfiguration())
	install.DryRunStrategy = action.DryRunClient
	install.ReleaseName = "release-name"
	install.Namespace = "default"
	install.Replace = true
	install.WaitStrategy = kube.HookOnlyStrategy
	made, err := install.Run(loaded, values)
	rel, _ := made.(*release.Release)
	if err != nil {
		if rel != nil {
			return "", fmt.Errorf("%w\n\nUse --debug flag to render out invalid YAML", err)
		}
		return "", err
	}
	var shown bytes.Buffer
	fmt.Fprintln(&shown, strings.TrimSpace(rel.Manifest))
	for _, hook := range rel.Hooks {
		fmt.Fprintf(&shown, "---\n# Source: %s\n%s\n", hook.Path, hook.Manifest)
	}
	fmt.Fprintf(&shown, "NOTES:\n%s", rel.Info.Notes)
	return shown.String(), nil
}

func dependencies(loaded *chart.Chart) error {
	var missing []string
wanted:
	for _, dependency := range loaded.Metadata.Dependencies {
		for _, present := range loaded.Dependencies() {
			if present.Metadata.Name == dependency.Name {
				continue wanted
			}
		}
		missing = append(missing, dependency.Name)
	}
	if len(missing) > 0 {
		return fmt.Errorf("an error occurred while checking for chart dependencies. You may need to run 'helm dependency build' to fetch missing dependencies: found in Chart.yaml, but missing in charts/ directory: %s", strings.Join(missing, ", "))
	}
	return nil
}
