"""Forty questions, each with a good and a bad answer: ours, to see whether a rater can tell them.

The bad ones are wrong, beside the point, empty, vague, cut off or repetitive; about as many are
long as short, so that length alone does not tell. `pairs` returns them as conversations.
"""

from ds2.pool import Message

__all__ = ["PAIRS", "pairs"]

PAIRS: tuple[tuple[str, str, str], ...] = (
    (
        "What is the capital of Australia?",
        "Canberra. It was chosen in 1908 as a compromise between Sydney and Melbourne.",
        "Sydney. It is the largest city and has the famous opera house, so it is the capital.",
    ),
    (
        "How many minutes are in three and a half hours?",
        "210 minutes: 3.5 hours × 60 minutes per hour.",
        "There are 180 minutes, because three hours have sixty minutes each and a half is small.",
    ),
    (
        "Write a Python function that returns the largest number of a list.",
        "def largest(numbers):\n    if not numbers:\n        raise ValueError('empty list')\n"
        "    best = numbers[0]\n    for number in numbers[1:]:\n        if number > best:\n"
        "            best = number\n    return best",
        "def largest(numbers):\n    return numbers[0]\n\nThis returns the largest number.",
    ),
    (
        "Explain why the sky is blue.",
        "Air molecules scatter short wavelengths of sunlight far more than long ones (Rayleigh "
        "scattering). Blue light therefore reaches us from all over the sky.",
        "The sky is blue because it reflects the blue of the oceans, and at night there is no sea.",
    ),
    (
        "Give me three tips for falling asleep faster.",
        "1. Keep the same bedtime every day. 2. Put screens away an hour before. 3. Keep the "
        "bedroom cool and dark.",
        "Sleep is important. Many people sleep. You should sleep well because sleep is good.",
    ),
    (
        "Translate into French: 'Where is the train station?'",
        "Où est la gare ?",
        "Donde está la estación de tren?",
    ),
    (
        "Summarise in one sentence: 'The council met on Monday. It voted to close the bridge for "
        "repairs until May. Buses will take another route.'",
        "The council voted on Monday to close the bridge for repairs until May, so buses are "
        "rerouted.",
        "The council built a new bridge and everybody was happy about the buses that it bought.",
    ),
    (
        "What is the boiling point of water at sea level in Celsius and Fahrenheit?",
        "100 °C, which is 212 °F.",
        "It depends on many factors, and water is a very interesting substance in many ways.",
    ),
    (
        "Name the parts of a plant cell that an animal cell lacks.",
        "A cell wall, chloroplasts and a large central vacuole.",
        "The nucleus and the mitochondria, since animals do not need them.",
    ),
    (
        "Solve for x: 4x - 7 = 21.",
        "Add 7 to both sides: 4x = 28. Divide by 4: x = 7.",
        "x = 4, because 4x is the first term and the others cancel out.",
    ),
    (
        "How do I undo my last git commit but keep the changes?",
        "git reset --soft HEAD~1\n\nThe commit is gone and its changes are still staged.",
        "Delete the .git folder and clone the repository again. That is the only way.",
    ),
    (
        "Write a polite email asking to move a meeting from Tuesday to Thursday.",
        "Subject: Moving our meeting\n\nDear Ms Novak,\n\nsomething urgent has come up on Tuesday. "
        "Could we meet on Thursday at the same time instead? I am sorry for the trouble.\n\n"
        "Kind regards,\nTom",
        "hey, cant do tuesday. thursday or whatever",
    ),
    (
        "What caused the French Revolution? Answer in two sentences.",
        "The crown was bankrupt after costly wars while the tax burden lay on the third estate, "
        "and bad harvests drove up the price of bread. Enlightenment ideas and the deadlock of "
        "the Estates General in 1789 turned the anger into revolution.",
        "The French Revolution was caused by Napoleon losing the battle of Waterloo. After it the "
        "king was chosen by the people, who then moved to America to be free.",
    ),
    (
        "Suggest a vegetarian dinner with lentils.",
        "Lentil curry: fry an onion, garlic and ginger, add a spoon of curry powder, 200 g of red "
        "lentils, a tin of tomatoes and 400 ml of stock. Simmer for 20 minutes, serve with rice.",
        "Chicken with lentils: roast a chicken and put lentils next to it.",
    ),
    (
        "What does 'carpe diem' mean?",
        "'Seize the day': make use of the present. It comes from an ode by Horace.",
        "It is Latin.",
    ),
    (
        "Is 91 a prime number?",
        "No: 91 = 7 × 13.",
        "Yes, 91 is a prime number, as it is odd and does not end in 5, and no number divides it.",
    ),
    (
        "Explain the difference between weather and climate to a child.",
        "Weather is what you see out of the window today: rain, sun or wind. Climate is what the "
        "weather is like over many years. Weather tells you whether to take an umbrella, climate "
        "whether to own one.",
        "Climate is the statistical mean state, with higher moments, of a coupled dissipative "
        "dynamical system over an interval that is long against its autocorrelation time.",
    ),
    (
        "Convert this sentence into passive voice: 'The chef prepared the soup.'",
        "The soup was prepared by the chef.",
        "The chef had been preparing the soup.",
    ),
    (
        "How can I remove a red wine stain from a cotton shirt?",
        "Blot it, do not rub. Cover it with salt or rinse it with cold sparkling water, then soak "
        "it in water with a little oxygen bleach for an hour and wash as usual.",
        "Put the shirt into the dryer on the hottest setting so that the wine evaporates fully.",
    ),
    (
        "List the planets from the Sun outwards.",
        "Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus, Neptune.",
        "Earth, Moon, Mars, Sun, Pluto, Jupiter, Venus, Saturn, Mars, Earth, Jupiter, Saturn.",
    ),
    (
        "Write a haiku about autumn.",
        "Leaves let go in wind,\na rake leans against the fence.\nSmoke drifts from the hill.",
        "Autumn autumn autumn autumn autumn autumn autumn autumn autumn autumn autumn.",
    ),
    (
        "Why do we have leap years?",
        "The Earth takes about 365.2422 days to go around the Sun. An extra day in most fourth "
        "years keeps the calendar in step with the seasons.",
        "As a language model I cannot talk about years.",
    ),
    (
        "What is the time complexity of binary search, and why?",
        "O(log n): every comparison halves the range that is left, and n can be halved only about "
        "log2(n) times.",
        "O(n²), since binary means two and so there are two loops inside each other.",
    ),
    (
        "Give an example of a simile and of a metaphor.",
        "Simile: 'Her voice was like warm honey.' Metaphor: 'Her voice was warm honey.' The simile "
        "compares with 'like' or 'as', the metaphor says one thing is the other.",
        "Similes and metaphors are figures of speech which are used by writers in their writing.",
    ),
    (
        "My flight was cancelled. What should I do first?",
        "Go to the airline's app or desk and rebook at once, as seats go fast. Ask for meals or a "
        "hotel if you must wait, keep receipts, and check whether you are owed compensation.",
        "I am sorry to hear that. Flights are operated by airlines. The first aeroplane flew in",
    ),
    (
        "What is 15 % of 240?",
        "36, because 10 % is 24 and 5 % is 12.",
        "15 % of 240 is 3600, which you get when you multiply 15 by 240.",
    ),
    (
        "Explain recursion with a short example in Python.",
        "A recursive function calls itself on a smaller problem until a base case ends it:\n\n"
        "def factorial(n):\n    return 1 if n <= 1 else n * factorial(n - 1)\n\n"
        "factorial(3) is 3 * factorial(2), which is 3 * 2 * factorial(1) = 6.",
        "Recursion is when something is recursive. For an example see recursion.",
    ),
    (
        "Who wrote 'Pride and Prejudice', and when was it published?",
        "Jane Austen; it was published in 1813.",
        "Charlotte Brontë wrote it in 1925 together with her sister, Virginia Woolf.",
    ),
    (
        "How do vaccines work?",
        "They show the immune system a harmless part or form of a germ. The body makes antibodies "
        "and memory cells, so that it can fight the real germ quickly later.",
        "Vaccines kill all germs in the blood for a few hours, like a soap inside the body.",
    ),
    (
        "Rewrite to be more concise: 'Due to the fact that it was raining, we made the decision to "
        "stay at home.'",
        "Because it was raining, we stayed at home.",
        "Due to the fact that it was raining very hard outside, we then made the final decision "
        "that we were going to stay inside at home.",
    ),
    (
        "Which SQL query returns the number of orders per customer?",
        "SELECT customer_id, COUNT(*) AS n_orders\nFROM orders\nGROUP BY customer_id;",
        "SELECT * FROM customers ORDER BY orders;",
    ),
    (
        "Give two arguments for and two against working from home.",
        "For: no commute, and fewer interruptions. Against: less contact with colleagues, and "
        "work and private life blur more easily.",
        "Working from home is working at home instead of at work. Some like it and some do not.",
    ),
    (
        "What is the area of a circle with a radius of 3 cm?",
        "π · 3² = 9π ≈ 28.3 cm².",
        "The area is 18.8 cm, because you take two times pi times the radius.",
    ),
    (
        "Classify the sentiment: 'The room was clean, but the staff ignored us for an hour.'",
        "Mixed, leaning negative: the cleanliness is praised, the service clearly criticised.",
        "Positive! Clean rooms are the best and the guest had a great time with the staff.",
    ),
    (
        "How should I train for my first 5 km run?",
        "Run three times a week for eight weeks. Begin with one minute of running and two of "
        "walking, eight times over; lengthen the running a little every week and rest a day in "
        "between.",
        "Just run 20 km every day without a break until it does not hurt any more.",
    ),
    (
        "What is the chemical formula of table salt?",
        "NaCl, sodium chloride.",
        "H2O, which is also called sodium, and it is found in the sea and in many kitchens.",
    ),
    (
        "Erkläre kurz, was ein Algorithmus ist.",
        "Ein Algorithmus ist eine eindeutige Anleitung, die ein Problem in endlich vielen "
        "Schritten löst, wie ein Kochrezept oder das schriftliche Dividieren.",
        "Ein Algorithmus ist ein Rhythmus in der Musik, den man schnell spielt.",
    ),
    (
        "Find the mistake: 'for i in range(1, 10): print(i)' should print 1 to 10.",
        "range(1, 10) stops before 10. Use range(1, 11).",
        "The mistake is that Python has no for loops, so you have to use a goto here instead.",
    ),
    (
        "Name three renewable sources of energy and one drawback of each.",
        "Solar: none at night. Wind: it does not always blow. Hydropower: dams harm rivers.",
        "Coal, oil and gas. Their drawback is that they are renewable.",
    ),
    (
        "Write a short product description for a steel water bottle.",
        "Keeps drinks cold for 24 hours and hot for 12. Double-walled stainless steel, a lid that "
        "does not leak, and a slim shape that fits every cup holder. 500 ml.",
        "Bottle. It is a bottle for water. You can put water in the bottle. Buy bottle. Bottle.",
    ),
)


def pairs() -> list[tuple[tuple[Message, ...], tuple[Message, ...]]]:
    """Return the good and the bad conversation of every question."""
    return [
        (
            (Message("user", question), Message("assistant", good)),
            (Message("user", question), Message("assistant", bad)),
        )
        for question, good, bad in PAIRS
    ]
