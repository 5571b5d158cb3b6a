"""What controller and agent both speak: messages, ids, and every chained limit. Imports nothing of ours."""
