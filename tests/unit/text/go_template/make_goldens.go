// Writes into goldens.json what Go's text/template makes of each of its templates:
//
//	go run make_goldens.go
//
// The functions beside Go's own are Ollama's; the data is the file's "data", decoded as JSON.
package main

import (
	"bytes"
	"encoding/json"
	"os"
	"text/template"
	"time"
)

type golden struct {
	Template string `json:"template"`
	Text     string `json:"text,omitempty"`
	Error    string `json:"error,omitempty"`
}

func day(days int) func(...string) string {
	return func(...string) string { return time.Now().AddDate(0, 0, days).Format("2006-01-02") }
}

func run(source string, data map[string]any) golden {
	functions := template.FuncMap{
		"json":             func(v any) string { text, _ := json.Marshal(v); return string(text) },
		"currentDate":      day(0),
		"yesterdayDate":    day(-1),
		"toTypeScriptType": func(any) string { return "any" },
	}
	var out bytes.Buffer
	parsed, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(source)
	if err == nil {
		err = parsed.Execute(&out, data)
	}
	if err != nil {
		return golden{Template: source, Error: err.Error()}
	}
	return golden{Template: source, Text: out.String()}
}

func main() {
	var file struct {
		Data    map[string]any `json:"data"`
		Goldens []golden       `json:"goldens"`
	}
	text, err := os.ReadFile("goldens.json")
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		panic(err)
	}
	for i, one := range file.Goldens {
		file.Goldens[i] = run(one.Template, file.Data)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(file); err != nil {
		panic(err)
	}
	if err := os.WriteFile("goldens.json", out.Bytes(), 0o644); err != nil {
		panic(err)
	}
}
