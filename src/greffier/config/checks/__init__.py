"""What one file cannot know about another: references, duties and promises across the workspace."""
