"""What a pair's score is: each scorer with its columns, its unit and how it reads the model."""
