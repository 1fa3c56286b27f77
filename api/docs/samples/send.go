// Imports two contacts, sends a template to one of them, waits until it was sent. Standard library only.
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"
)

func call(method, path, kind string, body []byte) map[string]any {
	url := os.Getenv("KABAR_URL")
	if url == "" {
		url = "http://127.0.0.1:8080"
	}
	request, err := http.NewRequest(method, url+path, bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("KABAR_KEY"))
	if kind != "" {
		key := make([]byte, 16)
		rand.Read(key)
		request.Header.Set("Content-Type", kind)
		request.Header.Set("Idempotency-Key", hex.EncodeToString(key))
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	var read map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&read); err != nil {
		log.Fatal(err)
	}
	if answer.StatusCode >= 300 {
		log.Fatalf("%v: %v %v", read["code"], read["detail"], read["remedy"])
	}
	return read
}

func main() {
	people := "name,phone\nAna,+6281234567890\nBudi,+6281234567891\n"
	call("POST", "/v1/contacts/import?name=sample", "text/csv", []byte(people))
	body, _ := json.Marshal(map[string]any{
		"session":  os.Getenv("KABAR_SESSION"),
		"to":       "6281234567890",
		"type":     "template",
		"template": map[string]any{"name": "halo", "language": map[string]any{"code": "id"}},
	})
	message := call("POST", "/v1/messages", "application/json", body)
	for tries := 0; tries < 100; tries++ {
		seen := call("GET", message["status_url"].(string), "", nil)
		switch seen["status"] {
		case "sent", "delivered", "read":
			call("GET", "/v1/imports?limit=5", "", nil)
			fmt.Println("sent", message["id"])
			return
		case "failed", "expired", "unknown":
			log.Fatalf("ended as %v: %v", seen["status"], seen["error"])
		}
		time.Sleep(100 * time.Millisecond)
	}
	log.Fatal("still waiting")
}
