"""The words that everybody uses: numbers and texts for people, money, secrets, signals, what an attempt may cost."""
